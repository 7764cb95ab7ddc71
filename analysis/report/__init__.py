"""From fits to figures, tables and one page that says what is known and what is not.

`findings.fit_study` fits and needs no Matplotlib; `write.write_report` draws and writes.
"""
