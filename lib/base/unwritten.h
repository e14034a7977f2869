// UNWRITTEN: in front of a large local array that is written before it is read, and only as far as it was written. What
// is shipped sets every other variable to zero (cmake/Hardening.cmake), which for such a one costs more than its use.
#pragma once

#define UNWRITTEN __attribute__((uninitialized))
