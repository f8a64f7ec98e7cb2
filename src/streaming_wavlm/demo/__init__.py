"""What ``streaming-wavlm demo`` shows: streaming measured and drawn, and a SUPERB task on the features."""
