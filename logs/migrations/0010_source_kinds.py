from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0009_pipeline")]

    operations = [
        migrations.AddField(
            model_name="logsource",
            name="senders",
            field=models.CharField(
                blank=True,
                help_text="Syslog only: who may send, as addresses and networks with commas: 127.0.0.1, 10.0.0.0/8. "
                "Empty: whoever reaches the address. Syslog has no keys.",
                max_length=500,
            ),
        ),
        migrations.AddField(
            model_name="logsource",
            name="service",
            field=models.CharField(
                blank=True,
                help_text="Syslog, Docker, files: the service of lines that don't name one, instead of a guess.",
                max_length=200,
            ),
        ),
        migrations.AlterField(
            model_name="logsource",
            name="kind",
            field=models.CharField(
                choices=[
                    ("stream", "stream"),
                    ("channel", "Pub/Sub channel"),
                    ("syslog", "syslog"),
                    ("docker", "Docker"),
                    ("files", "files"),
                ],
                default="stream",
                help_text="A stream keeps lines until they are stored. A channel has no memory: what is published "
                "while no ingester listens is lost. Syslog opens a port, Docker follows all containers of a host, "
                "files are followed.",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="logsource",
            name="name",
            field=models.CharField(
                help_text="Of a stream or channel: exact, or a pattern like app:*:logs. Of syslog: "
                "udp://127.0.0.1:5514, tcp://… or udp+tcp://…. Of Docker: unix:///var/run/docker.sock or "
                "tcp://host:2375. Of files: a path or a pattern like /var/log/app/*.log. It is read within 10 seconds "
                "of saving. Pharos cuts streams to PHAROS_LOG_STREAM_MAXLEN once their entries are stored.",
                max_length=200,
            ),
        ),
    ]
