#!/usr/bin/env python3
"""An HTTP server on the loopback interface for download_test.cpp: serves the files of a folder, with Range.

Prints its port, and ends when its standard input does. The first part of a path says how it misbehaves:
/good/, /plain/ (ignores Range), /cut/ (closes the connection half-way), /wrong/ (one byte differs), /long/ (sends it twice),
/moved/ (redirects).
Every request adds a line "PATH RANGE" to the file `requests` in the folder.
"""
import http.server
import os
import re
import sys
import threading

folder = sys.argv[1]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(os.path.join(folder, "requests"), "a") as log:
            log.write(f"{self.path} {self.headers.get('Range', 'all')}\n")
        _, mode, name = self.path.split("/", 2)
        if mode == "moved":
            self.send_response(302)
            self.send_header("Location", f"/good/{name}")
            self.end_headers()
            return
        try:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read()
        except OSError:
            self.send_error(404)
            return
        if mode == "long":
            content += content
        total = len(content)
        if mode == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and mode != "plain":
            begin = int(wanted[1])
            if begin >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = content[begin:]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if mode == "cut" else content)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
os._exit(0)
