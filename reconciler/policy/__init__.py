"""How a change is made safely; open this to change a rollout. Pure: values in, values out."""
