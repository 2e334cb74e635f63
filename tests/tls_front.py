"""TLS in front of a server that does not speak it: python tls_front.py LISTEN TO CERTIFICATE KEY AUTHORITY.

Whoever comes has to have a certificate of the authority. Both ports are of 127.0.0.1.
"""

import asyncio
import ssl
import sys


async def main(listen, to, certificate, key, authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)

    async def copy(reader, writer):
        try:
            while read := await reader.read(1 << 16):
                writer.write(read)
                await writer.drain()
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        try:
            behind = await asyncio.open_connection("127.0.0.1", int(to))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, behind[1]), copy(behind[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", int(listen), ssl=context)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
