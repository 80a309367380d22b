# StreamService in a container beside the host's libvirtd.
#
#   docker build -t streamservice .
#   docker run --network host --user "$(id -u streamservice):$(getent group libvirt | cut -d: -f3)" \
#     -v /run/libvirt:/run/libvirt -v streamservice-data:/data streamservice
#
# What it needs from the host:
#   /run/libvirt   libvirt's socket (the folder, not the file: libvirtd makes the file anew when it restarts)
#   --user         a user of the host that is in its group libvirt: the socket lets that group in, and libvirt then asks
#                  the host's polkit about the user. The user app, the default, is enough where libvirt asks nobody
#   /data          the records of streams, a volume.
#   --network host since the service listens on the loopback address only. With authentication configured
#                  (StreamService__Auth__…, see README) set ASPNETCORE_URLS=http://*:5080, better https, and publish the port.
# It needs no privileges, no device, no image file, and no folder shared with QEMU: the NBD sockets are bound inside the
# container, in /run/streamservice, and go to QEMU as file descriptors by way of libvirt. Without the host's images and
# qemu-img it deploys no domains, and leaves the disks of domains that are shut off alone.

FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
# The dashboard is built by the .NET build, with node.
COPY --from=node:22-bookworm-slim /usr/local/bin/node /usr/local/bin/node
COPY --from=node:22-bookworm-slim /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
WORKDIR /source
COPY global.json Directory.Build.props Directory.Packages.props BannedSymbols.txt .editorconfig ./
COPY src/ src/
RUN dotnet publish src/StreamService --configuration Release --output /app \
 && dotnet publish src/StreamService.Ctl --configuration Release --output /streamctl

FROM mcr.microsoft.com/dotnet/aspnet:10.0
# libvirt.so.0 and libvirt-qemu.so.0
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libvirt0 \
 && rm -rf /var/lib/apt/lists/*
# Any user may come, see above: the folders it writes to are open to whoever that is.
RUN mkdir --mode=1777 /data /run/streamservice
WORKDIR /app
COPY --from=build /app ./
# docker exec CONTAINER streamctl hosts
COPY --from=build /streamctl /usr/local/lib/streamctl
RUN ln -s ../lib/streamctl/streamctl /usr/local/bin/streamctl
# The base image would have it listen everywhere.
ENV ASPNETCORE_HTTP_PORTS= \
    ASPNETCORE_URLS=http://127.0.0.1:5080 \
    STREAMSERVICE_URL=http://127.0.0.1:5080 \
    StreamService__Hosts__0__Name=local \
    StreamService__Hosts__0__Uri=qemu:///system \
    StreamService__Storage__ConnectionString="Data Source=/data/streamservice.db" \
    StreamService__RuntimeDirectory=/run/streamservice/sockets
VOLUME /data
EXPOSE 5080
USER app
ENTRYPOINT ["dotnet", "StreamService.dll"]
