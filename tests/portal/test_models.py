"""Tuned models in the portal: trained by the form, compared, put in use, rolled back, discarded, and asked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.portal.client import Person, hidden_fields, text_of
from tests.portal.conftest import CODE, Portal, violations

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from playwright.sync_api import Page

TRAIN = "/portal/train"
ARGUMENTS = {"evaluation_strategy": "steps", "learning_rate": "0.01", "num_train_epochs": "1"}
NONE = "\N{EN DASH}"
TABLE = {"table": "Review", "label": "ReviewLabel", "text": "ReviewText"}
HOSTILE = "<script>alert(1)</script>\"'>\u202e"


@pytest.fixture(scope="module")
def portal(tuning_portal: Portal) -> Portal:
    return tuning_portal


class Form:
    """The form of a training, filled step by step; the fields stay as they are typed."""

    def __init__(self, person: Person, **typed: Any) -> None:
        self.person = person
        self.typed: dict[str, Any] = {"code": CODE, "p_of_train": "0.8", **typed}
        self.page = person.get(TRAIN)

    def press(self, step: str, **headers: str) -> httpx.Response:
        fields = {**hidden_fields(self.page.text, TRAIN), **self.typed, "step": step}
        headers = {"Origin": self.person.url} | {name.replace("_", "-"): value for name, value in headers.items()}
        self.page = self.person.http.post(TRAIN, data=fields, headers=headers)
        return self.page


def train(portal: Portal, person: Person, model: str, base: Path, **typed: Any) -> dict[str, Any]:
    """Train with the fields of the example that people start from; return the result of the job."""
    form = Form(
        person,
        **{"database": "sample:reviews", "limit": "20", "num_labels": "5", **typed},
        model_name=model,
        base_model=str(base),
        argument=list(ARGUMENTS),
        value=list(ARGUMENTS.values()),
    )
    assert "Review" in form.press("tables").text
    form.typed |= {**TABLE, **{key: value for key, value in typed.items() if key in TABLE}}
    form.press("columns")
    sent = form.press("train")
    assert sent.status_code == 303, text_of(sent)
    job_id = sent.headers["location"].partition("?")[0].rpartition("/")[2]
    done = portal.wait(job_id)
    assert done["status"] == "OK", done
    result: dict[str, Any] = done["results"][0]["result"]
    return result


@pytest.fixture(scope="module")
def first(portal: Portal, tiny_bert: Path) -> dict[str, Any]:
    """Result of the first training of the model `reviews`, whose candidate waits."""
    with Person(portal.url) as someone:
        someone.sign_in()
        return train(portal, someone, "reviews", tiny_bert)


def test_a_page_shows_how_far_scores_are_from_probabilities(person: Person, first: dict[str, Any]) -> None:
    seen = text_of(person.get("/portal/models/reviews"))
    old, new = first["old"]["ece"], first["new"]["ece"]
    assert f"calibration error {first['rows']['test']} {old:.4f} {new:.4f}" in seen
    assert "The new model has no temperature, so its scores may be no probabilities" in seen


def test_the_way_from_a_table_to_a_prediction(
    portal: Portal, person: Person, first: dict[str, Any], tiny_bert: Path
) -> None:
    assert first["rows"]["read"] == 20
    listed = text_of(person.get("/portal/models"))
    assert "reviews as downloaded waits" in listed
    seen = text_of(person.get("/portal/models/reviews"))
    assert "metrics are those of a random guess" in seen
    assert f"Old and new, on the same {first['rows']['test']} rows" in seen
    for label, value in first["new"]["f1"].items():
        assert f"{label} {first['new']['support'].get(label, NONE)} {first['old']['f1'][label]:.4f} {value:.4f}" in seen

    ask = "/portal/models/reviews/override"
    asked = person.get(ask)
    assert first["version"] in asked.text
    fields = hidden_fields(asked.text, ask)
    done = [person.post(ask, fields) for _ in range(2)]
    assert [response.status_code for response in done] == [303, 303], "a second press has the first one's outcome"
    assert done[0].headers["location"] == done[1].headers["location"]
    after = text_of(person.get(done[0].headers["location"]))
    assert f"reviews is now version {first['version']}" in after
    entries = [entry for entry in portal.audit() if entry[1:3] == ("model reviews", "override")]
    assert len(entries) == 1
    assert entries[0][4] == first["version"]

    answer = person.send(
        "/portal/try", "/portal/try/text", model="tuned:reviews", text="This was a really bad experience"
    )
    assert answer.status_code == 200
    scores = text_of(answer).partition("Label Score Value")[2].split()[:10]
    assert sorted(scores[::2]) == list("12345")
    assert sum(map(float, scores[1::2])) == pytest.approx(1, abs=1e-3)

    # The model in use has learned by now, so the candidate is compared with it row by row.
    second = train(portal, person, "reviews", tiny_bert, limit="200")
    page = person.get("/portal/models/reviews")
    compared = second["comparison"]
    assert f"{compared['rows']} rows are compared" in text_of(page)
    assert f"only the new one on {compared['only_new_right']}" in text_of(page)
    for row in compared["worse"][:3]:
        assert row["text"][:20] in text_of(page)

    # Two tabs: what the first one discards, the second one cannot put in use.
    stale = hidden_fields(person.get(ask).text, ask)
    gone = person.send("/portal/models/reviews/discard", "/portal/models/reviews/discard")
    assert gone.status_code == 303
    refused = person.post(ask, stale)
    assert refused.status_code == 409
    assert "No new model of reviews waits" in text_of(refused)
    assert ["model reviews", "discard", second["version"], None] in [list(entry[1:]) for entry in portal.audit()]

    third = train(portal, person, "reviews", tiny_bert)
    refused = person.post(ask, {**stale, "form_id": stale["form_id"][::-1]})
    assert refused.status_code == 409
    assert f"version {second['version']} was expected to wait, but it is {third['version']} by now" in text_of(refused)
    assert "Look at the versions again" in text_of(refused)
    assert portal_versions(portal)["in_use"] == first["version"]

    back = "/portal/models/reviews/rollback"
    earlier = hidden_fields(person.get(back).text, back)
    assert person.send(back, back).status_code == 303
    assert person.post(back, earlier).status_code == 409, "rolled back by another tab: a second press would undo it"
    assert portal_versions(portal)["previous"] == first["version"]
    assert [entry[1:3] for entry in portal.audit()].count(("model reviews", "roll back")) == 1


def portal_versions(portal: Portal) -> dict[str, Any]:
    listed = portal.http.get("/api/v1/tuning/models", params={"script_packages": CODE}).json()["models"]
    found: dict[str, Any] = next(model for model in listed if model["model_name"] == "reviews")
    return found


def test_what_comes_from_a_database_is_never_markup(
    portal: Portal, person: Person, tiny_bert: Path, tmp_path: Path
) -> None:
    file = tmp_path / "hostile.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute('CREATE TABLE Review (ReviewLabel TEXT, ReviewText TEXT, "a<b>" TEXT)')
        database.execute(f'CREATE TABLE "{HOSTILE.replace(chr(34), "")}" (x TEXT)')
        rows = [(HOSTILE if index % 2 else "plain", f"{index} {HOSTILE} word{index % 2}") for index in range(60)]
        database.executemany("INSERT INTO Review (ReviewLabel, ReviewText) VALUES (?, ?)", rows)
        database.commit()
    form = Form(person, database=f"sqlite:///{file}")
    page = form.press("tables")
    # The only table with a plain name is chosen by itself.
    assert "ReviewText (TEXT)" in page.text
    assert "1 name is not shown" in text_of(page)
    assert "Of 60 rows, batches have 6 in training and 3 in the test" in text_of(page)

    result = train(portal, person, "strange", tiny_bert, database=f"sqlite:///{file}", num_labels="", limit="")
    assert HOSTILE in result["labels"]
    page = person.get("/portal/models/strange")
    assert "&lt;script&gt;alert(1)" in page.text
    for shown in (page, person.get("/portal/models/strange/override")):
        assert "<script>alert" not in shown.text
        assert "\u202e" not in shown.text
    person.send("/portal/models/strange/override", "/portal/models/strange/override")
    answer = person.send("/portal/try", "/portal/try/text", model="tuned:strange", text=HOSTILE)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text

    # Folders that other code puts among the models.
    (portal.data / "models" / HOSTILE.replace("/", "")).mkdir()
    listed = person.get("/portal/models")
    assert listed.status_code == 200
    assert "<script>" not in listed.text.partition("<main")[2]
    refused = person.get("/portal/models/%3Cscript%3E")
    assert refused.status_code == 400
    assert "must be the name of a folder" in text_of(refused)
    unknown = person.get("/portal/models/none/override")
    assert "there is no model none" in text_of(unknown)


def test_passwords_come_back_in_no_page(portal: Portal, person: Person) -> None:
    url = "postgresql+psycopg://me:hunter-22@127.0.0.1:1/reviews"
    form = Form(person, model_name="m", database=url, argument=["learning_rate"], value=["0.5"])
    pages = [form.press("tables"), form.press("sizes"), form.press("train")]
    form.typed |= {"database": url.replace(":hunter-22", ""), "password": "hunter-22"}
    pages += [form.press("tables"), form.press("row"), form.press("train"), form.press("tables", HX_Request="true")]
    form.page = pages[0]
    assert all("hunter" not in page.text for page in pages)
    assert "cannot be read" in text_of(pages[0])
    assert "Passwords are not kept: type it again" in text_of(pages[3])
    assert 'value="postgresql+psycopg://me@127.0.0.1:1/reviews"' in pages[3].text
    assert 'value="learning_rate"' in pages[3].text, "what was typed stays"
    form.typed |= {"database": "postgresql+psycopg://me:hunter-22@@h/x", "password": ""}
    assert "hunter" not in form.press("tables").text
    with Person(portal.url) as nobody:
        kept = nobody.post(TRAIN, {**form.typed, "database": url, "password": "hunter-22", "argument": "", "value": ""})
    assert kept.status_code == 401
    assert "me@127.0.0.1" in kept.text
    assert "hunter" not in kept.text


def test_the_form_names_what_is_missing_and_keeps_what_was_typed(portal: Portal, person: Person) -> None:
    form = Form(person, database="sample:reviews", limit="many", argument=["seed", "seed", ""], value=["1", "2", "3"])
    page = form.press("train")
    assert page.status_code == 409
    said = text_of(page)
    for part in (
        "Type the name of the model",
        "choose the table",
        "the limit of rows must be a number, not 'many'",
        "argument 'seed' is given twice",
        "the value '3' has no argument",
    ):
        assert part in said
    assert 'value="many"' in page.text
    assert page.text.count('name="argument" value="seed"') == 2
    assert page.text.count('name="argument"') + 1 == form.press("row").text.count('name="argument"')
    assert "unknown sample" in text_of(Form(person, database="sample:cats").press("tables"))
    assert portal.audit() == [entry for entry in portal.audit() if entry[1] != "model "], "nothing was started"


def test_parts_of_the_form_are_renewed_alone(person: Person) -> None:
    form = Form(person, database="sample:reviews", limit="100")
    part = form.press("sizes", HX_Request="true").text
    assert "<html" not in part
    assert "<strong>8</strong> in training and <strong>4</strong>" in part
    form.page = person.get(TRAIN)
    part = form.press("tables", HX_Request="true").text
    assert part.lstrip().startswith('<div id="catalogue">')
    assert 'hx-swap-oob="true"' in part
    form.page = person.get(TRAIN)
    form.typed |= {"p_of_train": "2"}
    assert "p_of_train must be less than 1" in form.press("sizes", HX_Request="true").text
    names = person.get(f"{TRAIN}/arguments?code={CODE}", HX_Request="true").text
    assert '<option value="learning_rate">default: 0.00015</option>' in names
    listed = text_of(person.get(f"{TRAIN}/arguments?code={CODE}"))
    assert "per_device_train_batch_size square root of the rows, at most 16" in listed


def test_models_need_code(person: Person) -> None:
    page = person.get("/portal/models?code=")
    assert page.status_code == 200
    assert "No training code is here yet" in text_of(page)
    assert "Folder of pushed code" in text_of(page)


@pytest.mark.browser
def test_the_form_fills_itself_in_a_browser(portal: Portal, signed_in: Page, first: dict[str, Any]) -> None:
    tab = signed_in
    tab.goto(f"{TRAIN}?code={CODE}")
    assert tab.locator("#table").count() == 0
    tab.get_by_role("button", name="Show its tables").click()
    tab.get_by_label("Column of the label").select_option("ReviewLabel")
    tab.get_by_label("Column of the text").select_option("ReviewText")
    tab.get_by_text("Of 400 rows, batches have").wait_for()
    tab.get_by_label("Limit of rows").press_sequentially("20")
    tab.get_by_text("Of 20 rows, batches have 4 in training and 2 in the test").wait_for()
    tab.get_by_label("Argument 1").fill("seed")
    tab.get_by_role("button", name="Another argument").click()
    tab.get_by_label("Argument 4").wait_for()
    assert tab.get_by_label("Argument 1").input_value() == "seed"
    assert tab.locator("#argument-names option[value=learning_rate]").count() == 1
    assert tab.get_by_label("Column of the text").input_value() == "ReviewText"
    assert violations(tab) == []
    # A model that never is: the sentence comes from the server, and what was typed stays.
    tab.get_by_role("button", name="Train", exact=True).click()
    tab.get_by_role("alert").get_by_text("Type the name of the model").wait_for()
    assert tab.get_by_label("Column of the text").input_value() == "ReviewText"
    tab.goto("/portal/try?model=tuned:reviews")
    tab.locator("#typed-text").fill("This was a really bad experience")
    tab.get_by_role("button", name="Ask the model").first.click()
    assert tab.locator(".bars tbody tr").count() == 5 or "has not learned" in tab.locator("main").inner_text()
    assert violations(tab) == []
