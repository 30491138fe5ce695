"""A real engine with a small real model: llama.cpp's own server, with four places.

usage: serve.py MODEL.gguf     prints where it listens, and serves until it is killed
"""
import socket
import sys
import time

import xllamacpp

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
settings = xllamacpp.CommonParams()
settings.model.path = sys.argv[1]
settings.hostnames = ["127.0.0.1"]
settings.port = port
settings.n_ctx, settings.n_parallel = 4096, 4
# One thread: more of them wait for each other where cores are few.
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
settings.n_gpu_layers = 0
settings.cont_batching, settings.ui = True, False
server = xllamacpp.Server(settings)
print(f"listening on {server.listening_address}", flush=True)
while True:
    time.sleep(3600)
