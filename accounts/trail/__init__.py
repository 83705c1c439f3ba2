"""The audit trail: what of the configuration was changed, by whom, and who came in and took what with them."""
