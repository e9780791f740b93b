"""The prep model: documents into chunks with headings, roles and vectors.

`prep_model` puts the others together, in this order: `units` and `windows` divide the text; `markup` (with
`prep.containers`) and `line_features` describe its lines; `encoder` (loaded by `base_encoder`, updated by
`prep.lora`) gives states, kept in `encoded_document`; `heads` scores boundaries and roles; `outline` and
`segmentation` decide headings and cuts. `config` has the settings, `prep_version` saves and reads versions, and
`sentence_transformer` shares them.
"""
