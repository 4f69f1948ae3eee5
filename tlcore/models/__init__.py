"""Backbones with named stages."""

from tlcore.models.registry import BACKBONES, Backbone, Stage, get_backbone

__all__ = ["BACKBONES", "Backbone", "Stage", "get_backbone"]
