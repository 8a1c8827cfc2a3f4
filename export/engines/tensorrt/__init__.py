"""An expert as a TensorRT plan: a float16 graph, shown on a CPU, built by Polygraphy, shown on the GPU.

Written against the documented interfaces of TensorRT 10.13 and 11 and of Polygraphy 0.53; it has never run
on a GPU.
"""
