# How a layer, and its unit test, is built.
#
#   sluice_library(net DEPS base LINK PkgConfig::uv [PUBLIC_LINK ...] [TEST_LINK ...])
#     DEPS         layers whose headers this one may include (and theirs); anything else does not compile
#     LINK         foreign libraries, private: users of the layer do not get their include folders
#     PUBLIC_LINK  foreign libraries that stand in the layer's own headers (only fmt in base's log.h)
#     TEST_LINK    foreign libraries that the layer's unit test may use as well
#
# `#include "net/loop.h"` resolves because <build>/inc/net/net links to lib/net and <build>/inc/net is the only folder exported.
# A layer that has no .cc yet is an INTERFACE library, so the tree always configures.
function(sluice_library NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "DEPS;LINK;PUBLIC_LINK;TEST_LINK")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "sluice_library(${NAME}): what is '${ARG_UNPARSED_ARGUMENTS}'?")
  endif()
  set(inc ${CMAKE_BINARY_DIR}/inc/${NAME})
  file(MAKE_DIRECTORY ${inc})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${inc}/${NAME} SYMBOLIC)

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(sources)
    add_library(${NAME} STATIC ${sources})
    target_include_directories(${NAME} PUBLIC ${inc})
    target_link_libraries(${NAME} PUBLIC ${ARG_DEPS} ${ARG_PUBLIC_LINK} PRIVATE ${ARG_LINK} sluice_flags)
  else()
    add_library(${NAME} INTERFACE)
    target_include_directories(${NAME} INTERFACE ${inc})
    target_link_libraries(${NAME} INTERFACE ${ARG_DEPS} ${ARG_PUBLIC_LINK})
  endif()
  set_property(GLOBAL PROPERTY SLUICE_TEST_LINK_${NAME} ${ARG_TEST_LINK})
endfunction()

# test_<NAME> from tests/unit/<NAME>/*.cc, nothing if there are none.
function(sluice_unit_test NAME)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${NAME}/*.cc)
  if(NOT sources)
    return()
  endif()
  get_property(test_link GLOBAL PROPERTY SLUICE_TEST_LINK_${NAME})
  add_executable(test_${NAME} ${sources})
  # base and metrics are tested without a loop: they get the helpers' headers only.
  if(NAME MATCHES "^(base|metrics)$")
    set(support support_headers)
  else()
    set(support support)
  endif()
  target_link_libraries(test_${NAME} PRIVATE ${NAME} ${support} ${test_link} test_main sluice_flags)
  sluice_add_test(unit_${NAME} test_${NAME})
endfunction()

# Registers a test executable: run in the source root, killed when it hangs.
function(sluice_add_test NAME TARGET)
  add_test(NAME ${NAME} COMMAND ${TARGET} ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(SLUICE_SANITIZE)
    set(limit_s 1200)
  else()
    set(limit_s 300)
  endif()
  set_tests_properties(${NAME} PROPERTIES TIMEOUT ${limit_s})
endfunction()
