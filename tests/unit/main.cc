// The main() of every doctest executable. It stands alone because the implementation part of doctest takes seconds to
// compile.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
