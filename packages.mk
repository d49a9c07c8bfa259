# The one list of Debian packages: `make packages` installs them, README points here.
PACKAGES_BUILD := build-essential pkg-config mpich libmpich-dev libdnnl-dev libzmq3-dev \
	libsqlite3-dev sqlite3 libcjson-dev libcurl4-openssl-dev libmicrohttpd-dev \
	libarchive-dev libjpeg62-turbo-dev libpng-dev coinor-libcbc-dev libssl-dev
PACKAGES_TEST  := libcmocka-dev clang-format cppcheck
PACKAGES_FUZZ  := clang libomp-dev
PACKAGES_LONG  := iproute2 nftables faketime procps
