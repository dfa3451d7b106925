"""Problems with known answers, shared by tests, examples and documentation."""
