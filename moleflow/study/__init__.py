"""The domain-shift study: detectors on images as they were, shifted, and after they were adapted."""
