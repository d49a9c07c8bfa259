# The one list of Debian packages: README and the container file (worker/deploy) point here.
PACKAGES_BUILD := build-essential pkg-config mpich libmpich-dev libdnnl-dev libzmq3-dev \
	libsqlite3-dev sqlite3 libcjson-dev libcurl4-openssl-dev libmicrohttpd-dev \
	libarchive-dev libjpeg62-turbo-dev libpng-dev coinor-libcbc-dev libssl-dev
PACKAGES_RUN   := mpich libmpich12 libdnnl2 libgomp1 libzmq5 libsqlite3-0 libcjson1 libcurl4 libmicrohttpd12 \
	libarchive13 libjpeg62-turbo libpng16-16 coinor-libcbc3 libssl3
PACKAGES_TEST  := libcmocka-dev clang-format cppcheck systemd
PACKAGES_SLURM := slurm-wlm munge
PACKAGES_FUZZ  := clang libomp-dev
PACKAGES_LONG  := iproute2 nftables faketime procps
