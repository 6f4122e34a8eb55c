# gnuplot courses.gp makes courses.svg; with -e "format='png'", courses.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'courses.'.format
set datafile separator ','
heading = "f - f* over the steps"."\n"."Theorem 1: rescaled FOP on convex problems (float64, the same at every scale)"
set title heading
set logscale y
set format y '%.0e'
set xlabel 'step'
set ylabel 'f - f*'
set key outside bottom
of(p) = strcol(1) eq p && column(3) > 0 ? column(3) : NaN
plot 'courses.csv' using 2:(of('quadratic')) every ::1 with lines lw 2 title 'quadratic', 'courses.csv' using 2:(of('logistic')) every ::1 with lines lw 2 title 'logistic', 'courses.csv' using 2:(of('sum log cosh')) every ::1 with lines lw 2 title 'sum log cosh', 'courses.csv' using 2:(of('quadratic; semi-definite')) every ::1 with lines lw 2 title 'quadratic, semi-definite'
