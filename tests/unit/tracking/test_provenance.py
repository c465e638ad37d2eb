"""The commit of a result, and whether it is the whole truth."""


from relayllm.tracking.provenance import short_commit


def test_short_commit_keeps_the_word_dirty():
    assert short_commit("0123456789abcdef-dirty") == "0123456789ab-dirty"
    assert short_commit("") == ""
