"""Rendering the chart; needs Helm, no cluster."""
