"""What watches the system: Prometheus and its rules, Alertmanager, Grafana's dashboards."""
