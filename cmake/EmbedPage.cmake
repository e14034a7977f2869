# The status page as one .cc: cmake -DFOLDER=lib/admin/page -DOUT=page_text.cc -P EmbedPage.cmake
# Its style and script stand in the page, and in its Content-Security-Policy by their hashes: nothing else may run, whatever
# gets into the page.
function(base64 HEX RESULT)
  set(alphabet "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  set(text "")
  string(LENGTH "${HEX}" length)
  foreach(at RANGE 0 63 6)  # three bytes become four characters; 32 bytes leave two
    string(SUBSTRING "${HEX}" ${at} 6 piece)
    string(LENGTH "${piece}" digits)
    string(SUBSTRING "${piece}000000" 0 6 piece)
    math(EXPR bits "0x${piece}")
    math(EXPR characters "${digits} / 2 + 1")
    foreach(shift 18 12 6 0)
      if(characters GREATER 0)
        math(EXPR index "(${bits} >> ${shift}) & 63")
        string(SUBSTRING "${alphabet}" ${index} 1 character)
        string(APPEND text "${character}")
        math(EXPR characters "${characters} - 1")
      endif()
    endforeach()
  endforeach()
  set(${RESULT} "${text}=" PARENT_SCOPE)
endfunction()

function(read_all RESULT)
  set(all "")
  foreach(name IN LISTS ARGN)
    file(READ "${FOLDER}/${name}" text)
    string(APPEND all "${text}")
  endforeach()
  set(${RESULT} "${all}" PARENT_SCOPE)
endfunction()

read_all(css page.css)
read_all(js base.js plot.js panels.js live.js)
read_all(html page.html)
string(SHA256 css_hash "${css}")
string(SHA256 js_hash "${js}")
base64(${css_hash} css_hash)
base64(${js_hash} js_hash)
set(policy "default-src 'none'; script-src 'sha256-${js_hash}'; style-src 'sha256-${css_hash}'; connect-src 'self'")
string(APPEND policy "; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
string(REPLACE "@CSS@" "${css}" html "${html}")
string(REPLACE "@JS@" "${js}" html "${html}")
string(FIND "${html}" "@STATUS@" at)
if(at LESS 0)
  message(FATAL_ERROR "page.html has no @STATUS@")
endif()
math(EXPR behind "${at} + 8")
string(SUBSTRING "${html}" 0 ${at} before)
string(SUBSTRING "${html}" ${behind} -1 after)
file(WRITE "${OUT}" "// Made by cmake/EmbedPage.cmake from lib/admin/page.
#include \"admin/page.h\"

namespace sluice::admin {

const std::string_view page_policy = R\"page(${policy})page\";
const std::string_view page_before = R\"page(${before})page\";
const std::string_view page_after = R\"page(${after})page\";

}  // namespace sluice::admin
")
