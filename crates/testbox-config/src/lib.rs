//! Flags, environment, project files and policies into one RunPlan.
