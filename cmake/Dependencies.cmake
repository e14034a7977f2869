# Foreign libraries, from Debian's packages. Each is linked by the one layer that confines it (see lib/*/CMakeLists.txt).
find_package(PkgConfig REQUIRED)
pkg_check_modules(fmt REQUIRED IMPORTED_TARGET fmt)
pkg_check_modules(uv REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2>=1.52)
pkg_check_modules(cares REQUIRED IMPORTED_TARGET libcares>=1.18)
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(prometheus REQUIRED IMPORTED_TARGET prometheus-cpp-core)  # core only: pull and push bring a web server and curl
find_package(ZLIB REQUIRED)
find_package(BoringSSL REQUIRED)
find_package(Llhttp REQUIRED)

# toml++ is used header-only: the packaged library cannot be linked without exceptions.
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
add_library(tomlplusplus INTERFACE)
target_include_directories(tomlplusplus SYSTEM INTERFACE ${TOMLPLUSPLUS_INCLUDE_DIR})
target_compile_definitions(tomlplusplus INTERFACE TOML_HEADER_ONLY=1 TOML_EXCEPTIONS=0)
