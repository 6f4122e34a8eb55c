# gnuplot rates.gp makes rates.svg; with -e "format='png'", rates.png
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
set output 'rates.'.format
set datafile separator ','
heading = "Largest factor of f - f* per step, measured and claimed"."\n"."Theorem 2: rates of preconditioned descent on PL problems (float64, the same at every scale)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 4
set style data points
set pointsize 1.5
set ylabel 'largest factor per step'
set key outside right
set yrange [0:1.2]
set xrange [-0.5:14 - 0.5]
set bmargin 12
set xtics ('x^2/2, step 1.0000' 0, 'x^2/2, step 0.5000' 1, 'x^2/2, step 0.7500' 2, 'quadratic, step 1.0000' 3, 'quadratic, step 0.5000' 4, 'quadratic, step 0.0190' 5, 'x^2 + 3 sin^2 x, step 0.1250' 6, 'x^2 + 3 sin^2 x, step 0.0625' 7, 'x^2 + 3 sin^2 x, step 0.0039' 8, 'underdetermined, step 0.3333' 9, 'underdetermined, step 0.1667' 10, 'underdetermined, step 0.1067' 11, 'quadratic, step 1.0000' 12, 'quadratic, step 0.5000' 13) rotate by -40
of(f, c) = strcol(3) eq f ? column(c) : NaN
plot 'rates.csv' using 0:(of('corrected', 5)) every ::1 pt 6 lc 1 title 'corrected: claimed', '' using 0:(of('corrected', 6)) every ::1 pt 7 ps 0.7 lc 1 title 'corrected: measured', '' using 0:(of('printed', 5)) every ::1 pt 4 lc 2 title 'printed: claimed', '' using 0:(of('printed', 6)) every ::1 pt 5 ps 0.7 lc 2 title 'printed: measured'
