"""Model directory + champion + sealed rows → verdict: metrics, curves and the gate."""
