"""The D²4FAD model: teacher, student, learn-to-weight, losses, anomaly map, and the detector that joins them."""
