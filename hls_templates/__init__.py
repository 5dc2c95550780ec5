"""The C++ of QFX: Jinja templates, and header stubs for compiling it without the vendor tools."""
