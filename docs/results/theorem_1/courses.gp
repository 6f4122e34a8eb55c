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
heading = "f - f* over the steps; dashed: the bound that was checked"."\n"."Theorem 1: rescaled FOP on convex problems (float64, the same at every scale)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 4
set logscale xy
set format y '%.0e'
set yrange [1e-10:*]
set xlabel 'step + 1'
set ylabel 'f - f*'
set key below
of(p, c) = strcol(1) eq p && column(c) > 0 ? column(c) : NaN
plot 'courses.csv' using ($2 + 1):(of('quadratic', 3)) every ::1 with lines lw 2 lc 1 title 'quadratic', 'courses.csv' using ($2 + 1):(of('quadratic', 6)) every ::1 with lines dt 2 lc 1 title 'its bound', 'courses.csv' using ($2 + 1):(of('logistic', 3)) every ::1 with lines lw 2 lc 2 title 'logistic', 'courses.csv' using ($2 + 1):(of('logistic', 6)) every ::1 with lines dt 2 lc 2 title 'its bound', 'courses.csv' using ($2 + 1):(of('sum log cosh', 3)) every ::1 with lines lw 2 lc 3 title 'sum log cosh', 'courses.csv' using ($2 + 1):(of('sum log cosh', 6)) every ::1 with lines dt 2 lc 3 title 'its bound', 'courses.csv' using ($2 + 1):(of('quadratic; semi-definite', 3)) every ::1 with lines lw 2 lc 4 title 'quadratic, semi-definite'
