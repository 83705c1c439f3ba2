"""What speaks like Alertmanager: its API v2, and its file `alertmanager.yml`, in and out."""
