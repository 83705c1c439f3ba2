"""Five small services to look at with Pharos. They read receipts:

    api → worker → ocr, ml → notification

`make demo` starts them together with Pharos; docs/demo.md says what can be done with them.
"""
