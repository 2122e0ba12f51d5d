// A small line chart in SVG: the newest points, one or two lines, from zero up.
const NS = "http://www.w3.org/2000/svg";
const POINTS = 150, WIDTH = 300, HEIGHT = 80;
const CLASSES = ["one", "two"];

export class Chart {
  constructor(svg, lines) {
    this.points = [];
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    const floor = document.createElementNS(NS, "line");
    for (const [name, value] of Object.entries({ x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT })) floor.setAttribute(name, value);
    this.paths = CLASSES.slice(0, lines).map((name) => {
      const path = document.createElementNS(NS, "path");
      path.setAttribute("class", name);
      return path;
    });
    svg.append(floor, ...this.paths);
  }

  add(values) {
    this.points = [...this.points, values].slice(-POINTS);
    const top = Math.max(1, ...this.points.flat()) * 1.1, step = WIDTH / (POINTS - 1);
    const first = POINTS - this.points.length;
    this.paths.forEach((path, line) => {
      const at = (values, index) => `${((first + index) * step).toFixed(1)},${(HEIGHT - (values[line] / top) * HEIGHT).toFixed(1)}`;
      path.setAttribute("d", `M${this.points.map(at).join("L")}`);
    });
  }
}
