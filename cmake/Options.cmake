# Language, warnings, sanitizers, compiler cache: all that holds for every target of ours.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
# BoringSSL stands outside the system's folders. One RUNPATH for build and installation: else CMake fills the built one up with an
# empty element, which ld.so reads as the current folder.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

option(SLUICE_WERROR "Warnings are errors: on in all presets but release, which must build with compilers newer than ours" OFF)
option(SLUICE_FUZZ "Build tests/fuzz for libFuzzer (clang only); else they replay their corpus" OFF)
option(SLUICE_LTO "Link-time optimisation" OFF)
set(SLUICE_SANITIZE "" CACHE STRING "Argument of -fsanitize=, e.g. address,undefined or thread")

# A launcher of the caller's choice wins. Paths are made relative so that several build folders share one cache.
find_program(SLUICE_CCACHE ccache)
if(SLUICE_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_BASEDIR=/ CCACHE_NOHASHDIR=1 ${SLUICE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

find_package(Threads REQUIRED)
include(Hardening)

# sluice_flags: linked by every target made here, by nothing foreign.
add_library(sluice_flags INTERFACE)
target_link_libraries(sluice_flags INTERFACE Threads::Threads sluice_hardening)
target_compile_options(sluice_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wold-style-cast -Wcast-align -Wcast-qual
  -Woverloaded-virtual -Wimplicit-fallthrough -Wundef -Wvla
  -Wno-missing-field-initializers  # designated initializers leave the rest to the defaults of the members
  -fno-omit-frame-pointer -fno-plt
  $<$<BOOL:${SLUICE_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(sluice_flags INTERFACE -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wsuggest-override)
else()
  # Deprecated: clang blames us for what libstdc++ 12 does inside std::stable_sort; g++ tells of our own uses.
  target_compile_options(sluice_flags INTERFACE -Wsuggest-override -Wunreachable-code-aggressive -Wno-deprecated-declarations)
endif()
# Undefined behaviour is looked for in the product: in the tests' own code it would double the time that they take to compile.
define_property(TARGET PROPERTY SLUICE_TESTS INITIALIZE_FROM_VARIABLE SLUICE_TESTS)
if(SLUICE_SANITIZE)
  target_compile_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all
    $<$<BOOL:$<TARGET_PROPERTY:SLUICE_TESTS>>:-fno-sanitize=undefined>)
  target_link_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()
if(SLUICE_FUZZ)
  target_compile_options(sluice_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ${SLUICE_LTO})
