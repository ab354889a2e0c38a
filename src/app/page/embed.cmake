# SPDX-License-Identifier: ISC
# Files as arrays of a C header: cmake -DOUT=HEADER -DFILES=A;B -P embed.cmake. The array of index.html
# is page_index_html.
set(text "// Made by embed.cmake.\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  string(REGEX REPLACE "[^a-z]" "_" name ${name})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND text "static const unsigned char page_${name}[] = {\n${bytes}};\n")
endforeach()
file(WRITE ${OUT} "${text}")
