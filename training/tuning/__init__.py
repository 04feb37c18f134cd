"""Fine-tuning on what readers corrected: from a run's folder to a version that answers, or waits with its reason."""
