# BoringSSL -> target BoringSSL::ssl. From android-libboringssl-dev (headers in /usr/include/android, libraries in the multiarch
# folder's android/), or from -DBORINGSSL_ROOT=DIR with DIR/include and libraries in DIR, DIR/lib or DIR/build.
# OpenSSL is refused: its headers may stand in /usr/include beside, so the folder found here must come first (only lib/tls gets it).
set(BORINGSSL_ROOT "" CACHE PATH "Another BoringSSL than the distribution's")
set(BORINGSSL_API_MIN 17)

if(BORINGSSL_ROOT)
  set(_include ${BORINGSSL_ROOT}/include)
  set(_lib ${BORINGSSL_ROOT}/lib ${BORINGSSL_ROOT}/build ${BORINGSSL_ROOT})
else()
  set(_include /usr/include/android)
  set(_lib /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android)
endif()
# Looked up again in every run, so that another BORINGSSL_ROOT in the same build folder takes effect.
unset(BORINGSSL_INCLUDE_DIR CACHE)
unset(BORINGSSL_SSL CACHE)
unset(BORINGSSL_CRYPTO CACHE)
find_path(BORINGSSL_INCLUDE_DIR openssl/ssl.h PATHS ${_include} NO_DEFAULT_PATH)
find_library(BORINGSSL_SSL ssl PATHS ${_lib} PATH_SUFFIXES ssl NO_DEFAULT_PATH)
find_library(BORINGSSL_CRYPTO crypto PATHS ${_lib} PATH_SUFFIXES crypto NO_DEFAULT_PATH)
if(NOT BORINGSSL_INCLUDE_DIR OR NOT BORINGSSL_SSL OR NOT BORINGSSL_CRYPTO)
  message(FATAL_ERROR "BoringSSL not found: headers in ${_include}, libraries in ${_lib} (Debian: android-libboringssl-dev)")
endif()

set(_is "")
set(_api "")
if(EXISTS ${BORINGSSL_INCLUDE_DIR}/openssl/base.h)
  file(STRINGS ${BORINGSSL_INCLUDE_DIR}/openssl/base.h _is REGEX "^#define OPENSSL_IS_BORINGSSL")
  file(STRINGS ${BORINGSSL_INCLUDE_DIR}/openssl/base.h _api REGEX "^#define BORINGSSL_API_VERSION [0-9]+")
endif()
string(REGEX MATCH "[0-9]+" BORINGSSL_API_VERSION "${_api}")
if(NOT _is)
  message(FATAL_ERROR "${BORINGSSL_INCLUDE_DIR}/openssl is not BoringSSL (no OPENSSL_IS_BORINGSSL in base.h); there is no OpenSSL fallback")
elseif(NOT BORINGSSL_API_VERSION OR BORINGSSL_API_VERSION LESS BORINGSSL_API_MIN)
  message(FATAL_ERROR "BoringSSL API version '${BORINGSSL_API_VERSION}' in ${BORINGSSL_INCLUDE_DIR}: ${BORINGSSL_API_MIN} or later is needed")
endif()
message(STATUS "BoringSSL API ${BORINGSSL_API_VERSION}: ${BORINGSSL_SSL}")

add_library(BoringSSL::crypto UNKNOWN IMPORTED)
set_target_properties(BoringSSL::crypto PROPERTIES IMPORTED_LOCATION ${BORINGSSL_CRYPTO}
  INTERFACE_INCLUDE_DIRECTORIES ${BORINGSSL_INCLUDE_DIR} INTERFACE_LINK_LIBRARIES Threads::Threads)
add_library(BoringSSL::ssl UNKNOWN IMPORTED)
set_target_properties(BoringSSL::ssl PROPERTIES IMPORTED_LOCATION ${BORINGSSL_SSL}
  INTERFACE_INCLUDE_DIRECTORIES ${BORINGSSL_INCLUDE_DIR} INTERFACE_LINK_LIBRARIES BoringSSL::crypto)
set(BoringSSL_FOUND TRUE)
