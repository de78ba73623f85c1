"""All our knowledge of outside programs, one file each: text in, text out. Pure: reads no files but package data."""
