"""The kit: what every service is built from. It knows nothing of clouds and imports nothing of ours but `errors`."""
