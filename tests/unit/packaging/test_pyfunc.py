"""The MLflow model around a fake decoder."""

from types import SimpleNamespace

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from relayllm.packaging.pyfunc import RelayModel, answer_columns, read_params, read_prompts, signature
from tests.support.fake_decoder import FakeDecoder
from tests.support.small_packages import DECODING, hollow_package


@pytest.fixture
def decoder():
    return FakeDecoder()


CURVE = {"points": [], "training": [{"call_bias": -10.0, "call_ratio": 0.0}, {"call_bias": 0.0, "call_ratio": 0.04}]}


@pytest.fixture
def model(decoder, tmp_path):
    return opened(decoder, hollow_package(tmp_path / "p", bias_curve=CURVE))


def opened(decoder, folder):
    model = RelayModel(load=lambda package: decoder)
    model.load_context(SimpleNamespace(artifacts={"record": str(folder / "artifacts/relay.json")}))
    return model


def test_predict_gives_one_row_per_prompt(model):
    table = model.predict(None, pd.DataFrame({"prompt": ["a", "b"]}))
    assert list(table.columns) == list(answer_columns())
    row = table.iloc[1]
    assert (row.text, row.call_ratio, row.calls, row.completion_tokens) == ("ab", 0.25, 1, 4)
    assert row.segments == [{"author": "student", "text": "a"}, {"author": "teacher", "text": "b"}]
    assert row.token_ids == [5, 6, 7, 8]


def test_predict_uses_the_packages_decoding_until_told_otherwise(model, decoder):
    model.predict(None, ["a"])
    assert {key: decoder.options[key] for key in DECODING} == DECODING
    model.predict(None, ["a"], {"max_calls": 0, "teacher_enabled": False, "temperature": 1})
    assert (decoder.options["max_calls"], decoder.options["teacher_enabled"]) == (0, False)
    assert decoder.options["max_new_tokens"] == 24


def test_predict_sets_the_bias_by_what_it_spends(model, decoder):
    model.predict(None, ["a"], {"call_ratio": 0.02, "call_bias": 0.0})
    assert decoder.options["call_bias"] == pytest.approx(-5.0)
    assert "call_ratio" not in decoder.options
    model.predict(None, ["a"], {"call_ratio": None, "call_bias": 3.0})
    assert decoder.options["call_bias"] == 3.0
    assert list(model.predict_stream(None, ["a"], {"call_ratio": 0.0}))
    assert decoder.options["call_bias"] == -10.0


@pytest.mark.parametrize(("params", "says"), [({"call_ratio": 0.5}, "0.0000 to 0.0400"),
                                              ({"call_ratio": 0.02, "call_bias": 1.0}, "give one of them")])
def test_predict_call_ratio_out_of_reach_or_set_twice_is_the_callers_fault(model, params, says):
    with pytest.raises(MlflowException, match=says) as caught:
        model.predict(None, ["a"], params)
    assert caught.value.get_http_status_code() == 400


def test_predict_call_ratio_without_a_measured_curve_says_so(decoder, tmp_path):
    model = opened(decoder, hollow_package(tmp_path / "p"))
    with pytest.raises(MlflowException, match="without a measured bias curve"):
        model.predict(None, ["a"], {"call_ratio": 0.02})


def test_predict_value_out_of_range_is_the_callers_fault(model):
    with pytest.raises(MlflowException, match="give 0 or more") as caught:
        model.predict(None, ["a"], {"temperature": -1.0})
    assert caught.value.get_http_status_code() == 400


def test_predict_stream_yields_tokens_with_their_author(model):
    events = list(model.predict_stream(None, ["hey"]))
    assert [event["text"] for event in events] == ["h", "e", "y"]
    assert events[0]["author"] == "student"


def test_predict_stream_of_two_prompts_is_refused(model):
    with pytest.raises(MlflowException, match="one answer"):
        list(model.predict_stream(None, ["a", "b"]))


@pytest.mark.parametrize("given", ["a", ["a"], {"prompt": "a"}, [{"prompt": "a"}], pd.DataFrame({"prompt": ["a"]})])
def test_read_prompts_takes_texts_and_tables(given):
    assert read_prompts(given) == ["a"]


@pytest.mark.parametrize("given", [[""], [3], [None], pd.DataFrame({"question": ["a"]}), [{"text": "a"}]])
def test_read_prompts_refuses_what_is_no_text(given):
    with pytest.raises(MlflowException):
        read_prompts(given)


@pytest.mark.parametrize("given", [{"nonsense": 1}, {"seed": "x"}, {"max_calls": 1.5}, {"teacher_enabled": 1},
                                   {"temperature": True}])
def test_read_params_refuses_unknown_names_and_wrong_types(given):
    with pytest.raises(MlflowException, match=next(iter(given))):
        read_params(given, DECODING)


def test_read_params_null_is_as_absent():
    assert read_params({"temperature": None, "seed": None}, DECODING) == read_params({}, DECODING)


def test_signature_defaults_are_the_packages():
    params = {param.name: param.default for param in signature(DECODING).params}
    assert params["max_new_tokens"] == 24
    assert params["teacher_enabled"] is True
    assert params["call_bias"] == 0.0
    assert params["call_ratio"] is None


def test_read_params_keeps_the_thinking_mode_of_the_package():
    assert read_params({}, DECODING)["enable_thinking"] is False
    assert "enable_thinking" not in read_params({}, {name: value for name, value in DECODING.items()
                                                     if name != "enable_thinking"})
