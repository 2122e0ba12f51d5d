"""What a bot may send, and how it is told that it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.playground.telegram import TOKEN, Refused, Telegram, png

BUTTON = {"text": "Yes", "callback_data": "yes"}


async def refused(telegram: Telegram, method: str, **arguments: Any) -> Refused:
    with pytest.raises(Refused) as found:
        await telegram(method, **arguments)
    return found.value


async def test_an_unknown_method_is_404_and_names_ignore_case(telegram: Telegram) -> None:
    assert (await refused(telegram, "sendPoll")).code == 404
    assert (await telegram("GETME"))["username"] == "lanner_bot"


async def test_another_token_is_refused(telegram: Telegram) -> None:
    answer = await telegram.http.get(f"{telegram.url}bot2:other/getMe")
    assert (answer.status_code, answer.json()["description"]) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": "hi"}, "chat_id is empty"),
        ({"chat_id": 5, "text": "hi"}, "chat not found"),
        ({"chat_id": "x", "text": "hi"}, "chat not found"),
    ],
)
async def test_the_chat_must_exist(
    telegram: Telegram, arguments: dict[str, Any], words: str
) -> None:
    assert words in (await refused(telegram, "sendMessage", **arguments)).words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "message text is empty"), (" \n\u200b ", "text must be non-empty"),
        ("x" * 4097, "message is too long"), ("😀" * 2049, "message is too long"),
    ],
)  # fmt: skip
async def test_text_that_telegram_refuses(
    telegram: Telegram, chat: int, text: str, words: str
) -> None:
    assert words in (await refused(telegram, "sendMessage", chat_id=chat, text=text)).words


async def test_the_longest_text_goes_through_in_utf_16_units(telegram: Telegram, chat: int) -> None:
    sent = await telegram("sendMessage", chat_id=chat, text="😀" * 2048)
    assert sent["text"] == "😀" * 2048


async def test_text_is_kept_as_telegram_cleans_it(telegram: Telegram, chat: int) -> None:
    sent = await telegram("sendMessage", chat_id=chat, text="  a\0b\u202ec\r\n ")
    assert sent["text"] == "a bc"


async def test_entities_come_as_json_text_too(telegram: Telegram, chat: int) -> None:
    entities = json.dumps([{"type": "bold", "offset": 2, "length": 2}])
    sent = await telegram("sendMessage", chat_id=chat, text="  hi", entities=entities)
    assert sent["entities"] == [{"type": "bold", "offset": 0, "length": 2}]


@pytest.mark.parametrize("entities", ["{", "[[[", '{"a":1}', [{"type": "??", "offset": 0}]])
async def test_broken_entities_are_a_400(telegram: Telegram, chat: int, entities: Any) -> None:
    found = await refused(telegram, "sendMessage", chat_id=chat, text="hi", entities=entities)
    assert found.code == 400


async def test_lone_surrogates_are_not_utf_8(telegram: Telegram, chat: int) -> None:
    body = f'{{"chat_id": {chat}, "text": "a\\ud800"}}'
    answer = await telegram.http.post(f"{telegram.url}bot{TOKEN}/sendMessage", content=body,
                                      headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.json()["description"] == "Bad Request: strings must be encoded in UTF-8"


@pytest.mark.parametrize("body", [b"\xff", b"[1]", b"{", b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_a_400(telegram: Telegram, body: bytes) -> None:
    answer = await telegram.http.post(f"{telegram.url}bot{TOKEN}/sendMessage", content=body,
                                      headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code == answer.json()["error_code"] == 400


async def test_arguments_come_by_address_and_by_form_too(telegram: Telegram, chat: int) -> None:
    url, given = f"{telegram.url}bot{TOKEN}/sendMessage", {"chat_id": str(chat), "text": "ä & b"}
    for answer in (await telegram.http.get(url, params=given),
                   await telegram.http.post(url, data=given)):  # fmt: skip
        assert answer.json()["result"]["text"] == "ä & b"


@pytest.mark.parametrize(
    ("button", "words"),
    [
        ({"text": "Yes", "callback_data": ""}, "BUTTON_DATA_INVALID"),
        ({"text": "Yes", "callback_data": "é" * 33}, "BUTTON_DATA_INVALID"),
        ({"text": "", "callback_data": "x"}, "Field \"text\""),
        ({"text": "Yes"}, "Text buttons are unallowed"),
        ("Yes", "can't parse"),
    ],
)  # fmt: skip
async def test_buttons_that_telegram_refuses(
    telegram: Telegram, chat: int, button: Any, words: str
) -> None:
    markup = {"inline_keyboard": [[button]]}
    found = await refused(telegram, "sendMessage", chat_id=chat, text="?", reply_markup=markup)
    assert words in found.words


async def test_button_data_may_have_64_bytes(telegram: Telegram, chat: int) -> None:
    markup = {"inline_keyboard": [[{"text": "Yes", "callback_data": "é" * 32}], []]}
    sent = await telegram("sendMessage", chat_id=chat, text="?", reply_markup=markup)
    assert sent["reply_markup"]["inline_keyboard"] == markup["inline_keyboard"][:1]


async def test_a_reply_shows_what_it_answers_or_is_refused(telegram: Telegram, chat: int) -> None:
    said = max(telegram.world.chat("you").messages)
    sent = await telegram("sendMessage", chat_id=chat, text="yes",
                          reply_parameters={"message_id": said})  # fmt: skip
    assert sent["reply_to_message"]["text"] == "hello"
    gone = {"message_id": 1}
    found = await refused(telegram, "sendMessage", chat_id=chat, text="?", reply_parameters=gone)
    assert "message to be replied not found" in found.words
    gone["allow_sending_without_reply"] = True
    assert await telegram("sendMessage", chat_id=chat, text="?", reply_parameters=gone)


async def test_a_blocked_bot_is_forbidden_until_it_is_let_in_again(
    telegram: Telegram, chat: int
) -> None:
    telegram.world.block("you")
    found = await refused(telegram, "sendMessage", chat_id=chat, text="?")
    assert (found.code, found.words) == (403, "Forbidden: bot was blocked by the user")
    telegram.world.block("you", blocked=False)
    await telegram("sendMessage", chat_id=chat, text="welcome back")
    told = [u["my_chat_member"]["new_chat_member"]["status"] for u in await telegram.updates()]
    assert told == ["kicked", "member"]


async def test_a_file_comes_back_byte_for_byte(telegram: Telegram, chat: int) -> None:
    data, url = bytes(range(256)) * 300, f"{telegram.url}bot{TOKEN}"
    answer = await telegram.http.post(
        f"{url}/sendDocument",
        data={"chat_id": chat, "document": "attach://part", "caption": "all of it"},
        files={"part": ('né"w.bin', data)},
    )
    document = answer.json()["result"]["document"]
    assert (document["file_name"], document["file_size"]) == ('né"w.bin', len(data))
    found = await telegram("getFile", file_id=document["file_id"])
    got = await telegram.http.get(f"{telegram.url}file/bot{TOKEN}/{found['file_path']}")
    assert got.content == data
    again = await telegram("sendDocument", chat_id=chat, document=document["file_id"])
    assert again["document"]["file_name"] == 'né"w.bin'


async def test_a_photo_must_be_a_picture(telegram: Telegram, chat: int) -> None:
    url = f"{telegram.url}bot{TOKEN}/sendPhoto"
    good = await telegram.http.post(url, data={"chat_id": chat}, files={"photo": ("p", png(7, 5))})
    assert (good.json()["result"]["photo"][0]["width"]) == 7
    bad = await telegram.http.post(url, data={"chat_id": chat}, files={"photo": ("p", b"<svg>")})
    assert bad.json()["description"] == "Bad Request: IMAGE_PROCESS_FAILED"


@pytest.mark.parametrize(
    ("document", "words"),
    [("", "there is no document"), ("attach://no", "there is no document"),
     ("nothing", "wrong file identifier"), ("http://127.0.0.1:1/", "web page content")],
)  # fmt: skip
async def test_a_file_that_is_not_there_is_refused_and_never_fetched(
    telegram: Telegram, chat: int, document: str, words: str
) -> None:
    found = await refused(telegram, "sendDocument", chat_id=chat, document=document)
    assert words in found.words


async def test_captions_are_short(telegram: Telegram, chat: int) -> None:
    url = f"{telegram.url}bot{TOKEN}/sendPhoto"
    answer = await telegram.http.post(url, data={"chat_id": chat, "caption": "x" * 1025},
                                      files={"photo": ("p.png", png())})  # fmt: skip
    assert answer.json()["description"] == "Bad Request: message caption is too long"


async def test_copies_and_forwards_show_the_same(telegram: Telegram, chat: int) -> None:
    telegram.world.say("ada", "mine")
    ada = telegram.world.chat("ada")
    source = {"from_chat_id": ada.id, "message_id": max(ada.messages), "chat_id": chat}
    copy = await telegram("copyMessage", **source)
    assert telegram.world.chat("you").messages[copy["message_id"]]["text"] == "mine"
    assert (await telegram("forwardMessage", **source))["forward_origin"]["type"] == "user"


async def test_limits_that_are_on_answer_429_with_the_seconds(
    telegram: Telegram, chat: int
) -> None:
    telegram.world.limits.on = True
    await telegram("sendMessage", chat_id=chat, text="one")
    found = await refused(telegram, "sendMessage", chat_id=chat, text="two")
    assert (found.code, found.retry_after) == (429, 1)
    telegram.world.say("ada", "hi")
    await telegram("sendMessage", chat_id=telegram.world.chat("ada").id, text="another chat")
    telegram.now += 1
    await telegram("sendMessage", chat_id=chat, text="two")


async def test_a_group_takes_twenty_messages_a_minute(telegram: Telegram) -> None:
    group = telegram.world.chat("ada", "Friends").id
    telegram.world.limits.on = True
    for _ in range(20):
        await telegram("sendMessage", chat_id=group, text="hi")
        telegram.now += 1
    assert (await refused(telegram, "sendMessage", chat_id=group, text="hi")).retry_after == 40
