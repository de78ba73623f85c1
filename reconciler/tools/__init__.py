"""All we know of one outside program, one file each: text in, text out. Pure: no file is read here but package data."""
