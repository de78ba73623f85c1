"""Bootstrap and doctor of a host: what it lacks, and the steps that fix that."""
