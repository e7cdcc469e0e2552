"""The only place that writes: tables, the commit of a plan, the outbox, the accounting."""
