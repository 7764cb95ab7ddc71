"""Generated corpora whose law is known, so that training and fitting can be checked against the truth.

`law.py` says what such a source offers, `zipf_facts.py` and `zipf_markov.py` are the two there are, and
`bayes.py` is the learner that no model may beat on facts. `scaling.data.generated` makes corpora of them.
"""
