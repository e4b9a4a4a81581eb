"""The pages of ``us8k report``: what is in a store, how a run did, how runs compare.

`report.report` finds out which of them is asked for and writes it. Each page has a module that reads plain facts and
gives the whole page as text; what pages consist of is made by `us8k_batch.pages`, whose first lines state the rules.
"""
