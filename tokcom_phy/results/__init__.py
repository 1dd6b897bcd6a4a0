"""What came out of a run: tables, intervals, budgets, figures and the report."""
