from alerts.models.alerts import Alert
from alerts.models.deliveries import Delivery
from alerts.models.incidents import Evidence, Incident, IncidentEvent
from alerts.models.receivers import Channel, EscalationPolicy, EscalationStep, Receiver
from alerts.models.reports import Digest, Review
from alerts.models.routing import Group, InhibitRule, Member, MuteTime, Notified, Route, Silence
from alerts.models.rules import AlertRule, SeverityName

__all__ = [
    "Alert",
    "AlertRule",
    "Channel",
    "Delivery",
    "Digest",
    "EscalationPolicy",
    "EscalationStep",
    "Evidence",
    "Group",
    "Incident",
    "IncidentEvent",
    "InhibitRule",
    "Member",
    "MuteTime",
    "Notified",
    "Receiver",
    "Review",
    "Route",
    "SeverityName",
    "Silence",
]
