# sluice_hardening: what every object of ours is compiled with, and llhttp's, so that a memory fault ends the process instead of
# being of use to somebody. scripts/hardening reads the built executable and tells what is missing. But for libstdc++'s assertions, which every
# test shall meet before a peer does, only in what is shipped: sanitizers find more, and a debug build is for finding faults, where
# an uninitialised variable must not look right by chance.
include(CheckCXXSourceCompiles)

add_library(sluice_hardening INTERFACE)
target_compile_definitions(sluice_hardening INTERFACE $<$<COMPILE_LANGUAGE:CXX>:_GLIBCXX_ASSERTIONS>)
if(SLUICE_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  return()
endif()

set(_flags -fPIE -fstack-protector-strong -fstack-clash-protection
  -ftrivial-auto-var-init=zero)  # what is left of an earlier call's frame never leaves the process
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i.86)$")
  list(APPEND _flags -fcf-protection=full)  # CET: indirect branches end at endbr, shadow stacks
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  list(APPEND _flags -mbranch-protection=standard)
endif()
target_compile_options(sluice_hardening INTERFACE ${_flags})
target_link_options(sluice_hardening INTERFACE -pie -Wl,-z,relro,-z,now,-z,separate-code,-z,noexecstack)

# FORTIFY 3 where compiler and C library have it, else 2; neither without optimisation. The compiler says what it made of it.
set(CMAKE_TRY_COMPILE_CONFIGURATION ${CMAKE_BUILD_TYPE})
foreach(_level 3 2)
  set(CMAKE_REQUIRED_FLAGS "-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${_level} -Werror")
  check_cxx_source_compiles("#include <features.h>\n#if __USE_FORTIFY_LEVEL < ${_level}\n#error none\n#endif\nint main() {}"
    SLUICE_FORTIFY_${_level})
  if(SLUICE_FORTIFY_${_level})
    target_compile_options(sluice_hardening INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${_level})
    break()
  endif()
endforeach()
unset(CMAKE_REQUIRED_FLAGS)
